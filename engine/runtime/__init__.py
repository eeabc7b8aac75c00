"""How the models' steps are executed.

OpenVINO's package reports to its makers that it was imported, from a process that it forks for that. Nothing of this
house reports anything, and a process with JAX in it must not fork; without the package that does it, OpenVINO is quiet.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # now importing it raises ImportError
