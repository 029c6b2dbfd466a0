"""Basin's Gradio shell: the studio around `merging_core`."""
