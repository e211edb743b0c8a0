"""What is measured: cases of each operation, with inputs and checks."""
