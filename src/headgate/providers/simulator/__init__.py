"""A provider that needs no account: a faithful model of the OpenAI API with a bill of its own.

`Simulator` is the whole of it, without any IO. `SimulatorTransport` puts it in process behind the ordinary hosted
provider, `simulator_app` behind an HTTP server. Its bill is the ground truth that the ledger is compared with, so it
shares no price and no arithmetic with the rest of the house.

The modules, from the request to the bytes: `addresses` leads a `visit` to its handler; a line of `operations` makes a
`job` of a body (`read_chat`/`read_responses` make a `question`, `plan` decides the answer from `words`, `schema`,
`models`, and `write_chat`/`write_responses` spell it; embeddings, moderations, pictures and sound have a module each);
the `desk` serves jobs: `limits` and `faults` may object, `script` plays the answer, `answer` is driven by the faces,
`bill` charges for it. What is kept (files, batches, answers) is in the `archive`.
"""

from headgate.providers.simulator.app import simulator_app
from headgate.providers.simulator.arrivals import Arrival
from headgate.providers.simulator.bill import Bill, BillLine
from headgate.providers.simulator.settings import Batch, Fault, Latency, Limits
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.transport import SimulatorTransport
from headgate.providers.simulator.visit import Request

__all__ = [
    "Arrival",
    "Batch",
    "Bill",
    "BillLine",
    "Fault",
    "Latency",
    "Limits",
    "Request",
    "Simulator",
    "SimulatorTransport",
    "simulator_app",
]
