"""What runs in the peers' own environments: settings, and the calls that are measured."""
