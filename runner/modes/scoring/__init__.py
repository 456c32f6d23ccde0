"""Plans scored, remembered, judged and ranked."""
