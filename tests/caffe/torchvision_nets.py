"""Slim nets of torchvision's structure and key names, in plain torch.nn, with random weights.

In:   a seed.   Out: modules in eval mode, whose input is torchvision's.   Not here: any test.
"""

from __future__ import annotations

import torch
from torch import nn


def vgg16(widths=(4, 5, 6, 7, 8), fc=12, classes=9):
    layers, last = [], 3
    for width, count in zip(widths, (2, 2, 3, 3, 3), strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(last, width, 3, padding=1), nn.ReLU(inplace=True)]
            last = width
        layers.append(nn.MaxPool2d(2, 2))
    return _Features(layers, [nn.Linear(last * 49, fc), nn.ReLU(True), nn.Dropout(), nn.Linear(fc, fc),
                              nn.ReLU(True), nn.Dropout(), nn.Linear(fc, classes)], 7)


def alexnet(classes=9):
    layers = [nn.Conv2d(3, 6, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(6, 8, 5, padding=2), nn.ReLU(),
              nn.MaxPool2d(3, 2), nn.Conv2d(8, 7, 3, padding=1), nn.ReLU(), nn.Conv2d(7, 6, 3, padding=1), nn.ReLU(),
              nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)]
    return _Features(layers, [nn.Dropout(), nn.Linear(5 * 36, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 11),
                              nn.ReLU(), nn.Linear(11, classes)], 6)


class _Features(nn.Module):
    def __init__(self, features, classifier, pooled):
        super().__init__()
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(*classifier)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class BasicConv2d(nn.Module):
    def __init__(self, bottom, top, **more):
        super().__init__()
        self.conv = nn.Conv2d(bottom, top, bias=False, **more)
        self.bn = nn.BatchNorm2d(top, eps=0.001)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, bottom, a, b0, b, c0, c, d):
        super().__init__()
        self.branch1 = BasicConv2d(bottom, a, kernel_size=1)
        self.branch2 = nn.Sequential(BasicConv2d(bottom, b0, kernel_size=1),
                                     BasicConv2d(b0, b, kernel_size=3, padding=1))
        self.branch3 = nn.Sequential(BasicConv2d(bottom, c0, kernel_size=1),
                                     BasicConv2d(c0, c, kernel_size=3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(bottom, d, kernel_size=1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    def __init__(self, classes=9, transform_input=True):
        super().__init__()
        self.transform_input = transform_input
        self.conv1 = BasicConv2d(3, 5, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = BasicConv2d(5, 6, kernel_size=1)
        self.conv3 = BasicConv2d(6, 7, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        last = 7
        for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
            setattr(self, f"inception{name}", Inception(last, 2, 3, 4, 2, 3, 2))
            last = 11
        self.fc = nn.Linear(last, classes)

    def forward(self, x):
        if self.transform_input:
            x = torch.cat([x[:, i:i + 1] * (std / 0.5) + (mean - 0.5) / 0.5
                           for i, (mean, std) in enumerate(zip((.485, .456, .406), (.229, .224, .225), strict=True))],
                          1)
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        for name in ("4a", "4b", "4c", "4d", "4e"):
            x = getattr(self, f"inception{name}")(x)
        x = self.inception5b(self.inception5a(self.maxpool4(x)))
        return self.fc(x.mean((2, 3)))


NETS = {"torchvision-vgg16": vgg16, "torchvision-alexnet": alexnet, "torchvision-googlenet": GoogLeNet}


def make(name, seed=0, **more):
    """A net with weights at which every layer's numbers stay near one, and BatchNorm that does something."""
    torch.manual_seed(seed)
    net = NETS[name](**more).eval()
    for key, array in net.state_dict().items():
        if array.ndim > 1:
            nn.init.kaiming_normal_(array, nonlinearity="relu")
        elif key.endswith(("running_var", "bn.weight")):
            array.uniform_(0.5, 2)
        elif array.is_floating_point():
            array.normal_(0, 0.3)
    return net


def normalised(images_rgb):
    """torchvision's usual input, of images N x 3 x H x W in 0 ... 255."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((.485, .456, .406), (.229, .224, .225)))
    return (torch.from_numpy(images_rgb).double() / 255 - mean) / std
