"""The programs of chronoflow's README, written for Histrio; `docs/explanation/from-chronoflow.md` compares the two."""
