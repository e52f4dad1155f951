"""What a forecast rests on: weights of methods, attention over past steps, covariates, learned graph."""
