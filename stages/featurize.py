"""Featurize: vectors of all splits by a featurizer that is fitted on the training rows."""

from stages import run, vector_cache

SPLITS = ("train", "val", "test")


def main() -> None:
    import numpy as np

    from evenly.features import fit_featurizer
    from evenly.files import atomic_write
    from evenly.params.project import read_params
    from evenly.samples import read_samples

    params = read_params()
    tables = {name: read_samples(f"data/split/{name}.parquet") for name in SPLITS}
    featurizer = fit_featurizer(tables["train"], params.features, params.seed, vector_cache())
    featurizer.save("data/features/featurizer")
    for name, table in tables.items():
        with atomic_write(f"data/features/{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, featurizer.transform(table), allow_pickle=False)
    rows = ", ".join(f"{len(table)} {name}" for name, table in tables.items())
    print(f"featurize: {tables['train'].modality} rows as vectors of {featurizer.dimension} numbers ({rows})")


if __name__ == "__main__":
    run(main)
