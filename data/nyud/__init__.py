"""NYUDv2 made ready: frames, depth and labels from NYU's file, HHA from depth."""
