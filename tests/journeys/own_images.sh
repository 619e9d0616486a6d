# One's own images in a clone: a folder of folders, one for each class.
git clone --quiet "$URL" evenly && cd evenly
evenly add leaves "$DATA/leaves"
git add datasets.yaml data/raw/leaves.dvc && git commit --quiet -m "Data set leaves"
dvc exp run -S dataset=leaves -S balancing=offline_augmentation -S train.epochs=2 -S evaluate.robustness=false
evenly summary
evenly predict models/train "$DATA/leaves/spotted" --output predictions.csv
