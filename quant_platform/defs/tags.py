"""Tags of the platform's runs."""

REFRESH_TAG = "quant/refresh"
FIRST_RUN_TAG = "quant/first_run"
# On the runs that `quant run` starts, and follows up itself.
GOES_ON_TAG = "quant/goes_on"
LEFT_OUT_TAG = "quant/left_out"
# On an asset: the spec files its rows depend on.
SOURCES_TAG = "quant/specs"
# The time at which the data of a chain of runs were asked for: every follower covers what was over then.
AS_OF_TAG = "quant/as_of"
# Of the runs with one value of this tag, one runs at a time (`dagster.yaml`): an outcome needs the scans before it.
ALONE_TAG = "quant/alone"
# The process that executes a run which a command has started.
PROCESS_TAG = "quant/process"
