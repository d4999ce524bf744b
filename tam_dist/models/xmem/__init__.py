"""XMem: network, memory and inference (Cheng and Schwing, "XMem: Long-Term Video Object Segmentation with an
Atkinson-Shiffrin Memory Model", ECCV 2022).
"""
