"""PASCAL VOC 2011: classes, and the list of validation images that SBD does not train on."""
