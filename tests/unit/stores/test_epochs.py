"""What a process knows of the epochs: as they were last read, whoever read them."""

from collections.abc import Mapping

from app.stores.epochs import Epochs


def test_a_slow_reader_does_not_put_back_what_another_has_learnt_since() -> None:
    reads: list[Mapping[int, int]] = []

    def read() -> Mapping[int, int]:
        reads.append({0: len(reads) + 1})
        mine = reads[-1]
        if len(reads) == 1:
            epochs.refresh()  # while this one waits for its answer, another asks and is told
        return mine

    epochs = Epochs(read)
    epochs.refresh()
    assert epochs.of(0) == 2
    epochs.refresh()
    assert epochs.of(0) == 3
