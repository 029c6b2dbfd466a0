"""Pure functions from numbers to plotly figures: plain dictionaries, no gradio, colours by role."""
