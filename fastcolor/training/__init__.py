"""A ColorUNet made from photographs: the set, the samples, the steps, what a run keeps."""
