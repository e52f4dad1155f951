"""Classify sequences of different lengths with a Keras model that has an attention layer.

Each sequence is noise; those of class 1 contain one short pulse at a random place. The attention weights find it.
"""

import keras
import numpy as np

from tsattn.layers import AttentionPooling

rng = np.random.default_rng(0)
count, time = 256, 40
lengths = rng.integers(15, time + 1, count)
labels = rng.integers(0, 2, count)
pulses = np.array([rng.integers(0, length - 3) for length in lengths])
x = rng.normal(0, 0.3, (count, time, 1)).astype("float32")
for row in np.flatnonzero(labels):
    x[row, pulses[row] : pulses[row] + 3] += 2
mask = np.arange(time) < lengths[:, None]
x[~mask] = 0

inputs = keras.Input((None, 1))
valid = keras.Input((None,), dtype="bool")
states = keras.layers.Conv1D(16, 3, padding="same", activation="relu")(inputs)
pooled, weights = AttentionPooling(16)(states, mask=valid, return_attention_scores=True)
model = keras.Model([inputs, valid], keras.layers.Dense(1, "sigmoid")(pooled))
model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
history = model.fit([x, mask], labels, epochs=10, batch_size=32, verbose=0)
print(f"accuracy in training: {history.history['accuracy'][-1]:.2f}")

attention = keras.ops.convert_to_numpy(keras.Model([inputs, valid], weights)([x, mask]))
found = [abs(int(attention[row].argmax()) - pulses[row] - 1) <= 2 for row in np.flatnonzero(labels)]
print(f"largest weight at the pulse: {np.mean(found):.0%}; weight of padding: {attention[~mask].max():g}")
