"""`headgate bench`: what the gate makes of a provider's limits, measured beside the OpenAI SDK on its own.

`judge` reads the simulator's log; `scenarios` are what is measured; `stage` plays one with one client on the virtual
clock; `processes` lets two processes share one limit in real time; `pace` is the command with its table.
"""
