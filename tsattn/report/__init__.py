"""What a person looks at: pictures of forecasts and the HTML report of a run."""
