"""From a GGUF file to exact integers: import, quantise, run, trace, measure."""

import os

# On two cores that also prove and serve, OpenMP threads that spin while waiting for one another starve everybody:
# products were four times slower beside one busy process. Read by the OpenMP runtime when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
