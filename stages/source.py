"""Source: which raw data the data set is made of, so that later stages depend on these and on no others."""

from stages import run, source_roots


def main() -> None:
    from evenly.datasets.sources import source_identity
    from evenly.files import write_json
    from evenly.params.datasets import read_entry
    from evenly.params.project import read_params

    name = read_params().dataset
    found = source_identity(read_entry(name), name, source_roots())
    write_json(found, "data/source.json")
    print(f"{name}: " + ("{path}, SHA-256 {sha256:.12}".format(**found) if found else "no file in data/raw"))


if __name__ == "__main__":
    run(main)
