"""What the studio's server functions do, without gradio."""
