"""What bins are fitted from: the chroma of images counted, by one machine or by many."""
