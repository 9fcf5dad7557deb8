"""Networks compiled by TensorRT: plans on a GPU, and a check without one."""
