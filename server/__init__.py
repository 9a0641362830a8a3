"""What the coordinator runs: roll call, rounds, aggregation, judgement and the run's folder."""
