import torch

from vatrace.models.memory import Memory


def test_it_gives_back_in_order_what_the_last_call_kept() -> None:
    memory = Memory()
    first, second = torch.zeros(2), torch.zeros(3)
    assert memory.take(first) is first
    memory.keep(first + 1)
    assert memory.take(second) is second
    memory.keep(second + 2)
    memory.end_call()
    for _ in range(2):
        assert [memory.take(first).tolist(), memory.take(second).tolist()] == [[1, 1], [2, 2, 2]]
        memory.keep(first + 1)
        memory.keep(second + 2)
        memory.end_call()
    assert len(memory.tensors) == 2


def test_it_continues_from_given_tensors() -> None:
    assert Memory([torch.ones(1)]).take(torch.zeros(1)).item() == 1


def test_the_past_is_put_before_x_and_its_end_is_kept() -> None:
    memory = Memory()
    x = torch.arange(1.0, 8).reshape(1, 7, 1)
    found = []
    for start, stop in ((0, 1), (1, 5), (5, 7)):  # shorter and longer than the past
        found.append(memory.extend(x[:, start:stop], 3)[0, :, 0].tolist())
        memory.end_call()
    assert found == [[0, 0, 0, 1], [0, 0, 1, 2, 3, 4, 5], [3, 4, 5, 6, 7]]
