"""The loop: register, plan, execute what is missing, index, decide."""
