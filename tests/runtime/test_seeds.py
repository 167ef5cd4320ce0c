"""Seeds derived from names."""

from rlhf.runtime import seeds


def test_a_seed_is_the_same_in_every_process():
    assert seeds.derive(17, "ppo", "r1") == 6447111188981810624


def test_other_names_and_other_seeds_give_other_streams():
    streams = [seeds.derive(17, "ppo", n) for n in range(100)] + [seeds.derive(18, "ppo", n) for n in range(100)]
    assert len(set(streams)) == 200


def test_seeds_fit_a_torch_generator():
    assert all(0 <= seeds.derive(n, "x") < 2**63 for n in range(200))
