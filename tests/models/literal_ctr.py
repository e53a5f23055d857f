"""The click models under test: options, mistakes, and formulas number by number.

`literal[name](model, rows, dense)` is one row's logit. `rows` are the columns' rows [m][width], numeric
ones already times their value, `dense` the other weights as lists.
"""

from __future__ import annotations

import math
from itertools import combinations


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def relu(values):
    return [max(0.0, x) for x in values]


def layers(values, dense, name="layers"):
    place = 0
    while f"{name}.{place}.weight" in dense:
        values = relu(values) if place else values
        weight, bias = dense[f"{name}.{place}.weight"], dense[f"{name}.{place}.bias"]
        values = [dot(line, values) + b for line, b in zip(weight, bias, strict=True)]
        place += 1
    return values


def flat(vectors):
    return [x for vector in vectors for x in vector]


def parted(rows):
    """Embeddings and the sum of weights, the last number of each row."""
    return [row[:-1] for row in rows], sum(row[-1] for row in rows)


def lr(model, rows, dense):
    return dense["bias"][0] + sum(row[0] for row in rows)


def fm(model, rows, dense):
    vectors, first = parted(rows)
    return dense["bias"][0] + first + sum(dot(a, b) for a, b in combinations(vectors, 2))


def deepfm(model, rows, dense):
    return fm(model, rows, dense) + layers(flat(parted(rows)[0]), dense)[0]


def nfm(model, rows, dense):
    vectors, first = parted(rows)
    pooled = [model.gain * sum(a[k] * b[k] for a, b in combinations(vectors, 2)) for k in range(len(vectors[0]))]
    return first + layers(pooled, dense)[0]


def ipnn(model, rows, dense):
    return layers(flat(rows) + [dot(a, b) for a, b in combinations(rows, 2)], dense)[0]


def wide_deep(model, rows, dense):
    vectors, first = parted(rows)
    return first + layers(flat(vectors), dense)[0]


def dcn(model, rows, dense):
    x0 = x = flat(rows)
    *weights, last = dense["cross.weight"]
    for w, b in zip(weights, dense["cross.bias"], strict=True):
        along = dot(w, x)
        x = [x0[k] * along + b[k] + x[k] for k in range(len(x0))]
    return dot(last, x) + layers(x0, dense)[0]


def dcn_v2(model, rows, dense):
    x0 = x = flat(rows)
    for place in range(model.cross):
        weight, bias = dense[f"cross.{place}.weight"], dense[f"cross.{place}.bias"]
        x = [x0[k] * (dot(weight[k], x) + bias[k]) + x[k] for k in range(len(x0))]
    return dot(dense["cross.output"], x) + layers(x0, dense)[0]


def xdeepfm(model, rows, dense):
    vectors, first = parted(rows)
    d, below, sums = len(vectors[0]), vectors, []
    for place in range(len(model.cin)):
        above = []
        for h in range(model.cin[place]):
            row = [0.0] * d
            for i, x in enumerate(below):
                for j, y in enumerate(vectors):
                    for k in range(d):
                        row[k] += dense[f"cin.{place}"][i][j][h] * x[k] * y[k]
            above.append(row)
        sums += [sum(row) for row in above]
        below = above
    return first + dot(dense["cin.output"], sums) + layers(flat(vectors), dense)[0]


def fmfm(model, rows, dense):
    vectors, first = parted(rows)
    total = dense["bias"][0] + first
    for between, (a, b) in zip(dense["pairs"], combinations(vectors, 2), strict=True):
        for k, x in enumerate(a):
            for other, y in enumerate(b):
                if model.interaction == "matrix":
                    total += x * between[k][other] * y
                elif k == other:
                    total += x * between[k] * y
    return total


def afn_plus(model, rows, dense):
    d = model.width // 2
    floor, mean, spread = model.scale / 2, math.log(model.scale) - 0.111791, 1.6
    logs = [[(math.log(math.hypot(x, floor)) - mean) / spread for x in row[:d]] for row in rows]
    crosses = []
    for k in range(d):
        crosses += [math.exp(z) - 1 for z in layers([row[k] for row in logs], dense, "powers")]
    return layers(crosses, dense, "cross")[0] + layers(flat([row[d:] for row in rows]), dense)[0]


def final_mlp(model, rows, dense):
    x, total, outputs = flat(rows), dense["bias"][0], []
    for name, places in zip(("left", "right"), model.places, strict=True):
        gate = dense[f"{name}.gate.bias"]
        if places:
            context = flat([rows[place] for place in places])
            gate = [dot(line, context) + b for line, b in zip(dense[f"{name}.gate.weight"], gate, strict=True)]
        gated = [2 * value / (1 + math.exp(-g)) for value, g in zip(x, gate, strict=True)]
        found = relu(layers(gated, dense, name))
        total += dot(dense[f"{name}.output"], found)
        outputs.append(found)
    left, right = outputs
    for head, weight in enumerate(dense["products"]):
        a, b = len(weight), len(weight[0])
        for i in range(a):
            for j in range(b):
                total += left[head * a + i] * weight[i][j] * right[head * b + j]
    return total


literal = {
    "LR": lr, "FM": fm, "DeepFM": deepfm, "NFM": nfm, "IPNN": ipnn, "WideDeep": wide_deep, "DCN": dcn, "DCNv2": dcn_v2,
    "xDeepFM": xdeepfm, "FmFM": fmfm, "AFNPlus": afn_plus, "FinalMLP": final_mlp,
}  # fmt: skip
SMALL = {  # a few columns each, so that numbers can be counted through; the names of variants end in what they vary
    "LR": {},
    "FM": {"width": 3},
    "DeepFM": {"width": 3, "hidden": [5, 4]},
    "NFM": {"width": 3, "hidden": [5, 4]},
    "IPNN": {"width": 3, "hidden": [5, 4]},
    "WideDeep": {"width": 3, "hidden": [5, 4]},
    "DCN": {"width": 2, "cross": 3, "hidden": [5, 4]},
    "DCN 1": {"width": 2, "cross": 1, "hidden": [5]},
    "DCNv2": {"width": 2, "cross": 2, "hidden": [5, 4]},
    "xDeepFM": {"width": 3, "cin": [3, 2, 4], "hidden": [5, 4]},
    "xDeepFM 1": {"width": 3, "cin": [9], "hidden": [5]},
    "FmFM": {"width": 3},
    "FmFM vector": {"width": 3, "interaction": "vector"},
    "AFNPlus": {"width": 2, "neurons": 3, "cross": [5, 4], "hidden": [4], "scale": 0.5},
    "FinalMLP": {"width": 2, "towers": [[5, 4], [6]], "heads": 2},
    "FinalMLP gated": {"width": 2, "towers": [[4], [3]], "contexts": [["item", "user"], []]},
}
WRONG = {
    "LR": ({"width": 3}, "width: no such option of LR; it has none"),
    "FM": ({"width": 0}, "width: given 0; whole numbers from 1"),
    "DeepFM": ({"hidden": [3, 0]}, "hidden: given 0; whole numbers from 1"),
    "NFM": ({"scale": 0}, "scale: given 0.0; numbers above 0"),
    "IPNN": ({"width": 2.5}, "width: given 2.5; input should be a valid integer"),
    "WideDeep": ({"hidden": ["big"]}, "hidden.0: given 'big'"),
    "DCN": ({"cross": 0}, "cross: given 0; whole numbers from 1"),
    "DCNv2": ({"cross": True}, "cross: given True; true and false are not allowed"),
    "xDeepFM": ({"cin": [4, -1]}, "cin: given -1"),
    "FmFM": ({"interaction": "scalar"}, "interaction: given 'scalar'; input should be 'matrix' or 'vector'"),
    "AFNPlus": ({"neurons": 0, "cross": [0]}, "neurons: given 0.*cross: given 0"),
    "FinalMLP": ({"contexts": [["colour"], []]}, "contexts: given .*fields from user, item"),
}
WITHOUT_LAYERS = ("LR", "FM", "FmFM")  # without a perceptron
