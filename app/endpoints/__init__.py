"""What programs may ask of a running Basin, by name: the studio's functions for gradio_client and for MCP."""
