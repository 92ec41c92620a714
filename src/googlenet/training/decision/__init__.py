"""What a run will do, decided in one place: settings, data, weights and machine give one frozen decision.

No torch. May import the packages of layers 0 to 7.
"""

__all__ = ["decide", "plan", "recipe", "run_config", "settings"]
