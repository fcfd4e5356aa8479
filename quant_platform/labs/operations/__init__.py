"""Operations: from a signal that is believed to paper orders, to what they cost, to changes that a person may apply.

1. `routing` says of each setup whether it is sent, `sizing` how large; every refusal has a reason.
2. `book` lets the engine fill what was sent at the next open; `switches` stops what goes wrong.
3. `fills` is the contract of a broker's own fills, `costs` and `windows` what they teach about costs.
4. `sweep` and `sleeves` judge thresholds and names, `proposals` turns the evidence of a week into reviewed changes.
5. `dashboard` is what a person sees of it, `growth` how much evidence there is yet.
"""
