"""The two networks: SAM makes masks from prompts, XMem carries them from frame to frame."""
