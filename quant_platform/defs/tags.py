"""Tags of the platform's runs."""

REFRESH_TAG = "quant/refresh"
FIRST_RUN_TAG = "quant/first_run"
# On the runs that `quant run` starts, and follows up itself.
GOES_ON_TAG = "quant/goes_on"
LEFT_OUT_TAG = "quant/left_out"
# On an asset: the spec files its rows depend on.
SOURCES_TAG = "quant/specs"
