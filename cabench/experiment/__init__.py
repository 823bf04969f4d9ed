"""From a request to records: cells, the runner that computes them, and the folder that keeps what they leave."""
