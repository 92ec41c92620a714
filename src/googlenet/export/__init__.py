"""Files for an inference engine, and the verification that their outputs match the network's.

May import the packages of layers 0 to 5.
"""

__all__ = ["calibration_data", "export", "extractor", "graph", "verification", "writers"]
