"""How a figure becomes a picture without a browser: colours, letters, axes, marks, and the sheet that holds them."""
