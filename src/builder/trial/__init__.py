"""Graphs run once, in this process, before anything is made of what they are said to be."""
