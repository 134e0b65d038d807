"""The other side of scorer_training.rs: scikit-learn's MLPClassifier((128, 64)) on the same rows.

    python scorer_training.py features.f32 labels.u8 INPUTS TRAINING_ROWS EPOCHS
"""
import json
import sys
import time
import warnings

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

warnings.filterwarnings("ignore")
inputs, rows, epochs = (int(size) for size in sys.argv[3:])
x = np.fromfile(sys.argv[1], np.float32).reshape(-1, inputs)
y = np.fromfile(sys.argv[2], np.uint8)
model = MLPClassifier((128, 64), max_iter=epochs, n_iter_no_change=epochs + 1, tol=0.0, random_state=1)
start = time.perf_counter()
model.fit(x[:rows], y[:rows])
seconds = time.perf_counter() - start
auc = roc_auc_score(y[rows:], model.predict_proba(x[rows:])[:, 1])
print(json.dumps({"seconds": round(seconds, 2), "auc": round(float(auc), 4), "epochs": model.n_iter_}))
