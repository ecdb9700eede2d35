"""The Merkle tree against the recursive definition of RFC 9162 2.1.1."""

from hashlib import sha256

import pytest

from audit.merkle import Tree


def defined(leaves):
    """MTH, word by word: split at the largest power of two below the size."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + defined(leaves[:split]) + defined(leaves[split:])).digest()


@pytest.mark.spec("A6")
def test_the_root_is_the_defined_one_at_every_size():
    tree, leaves = Tree(), []
    assert tree.root() == defined([])
    for number in range(70):
        leaves.append(bytes([number]) * 32)
        tree.append(leaves[-1])
        assert tree.root() == defined(leaves)


@pytest.mark.spec("A6")
@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 21])
def test_a_stored_frontier_lets_the_tree_grow_on(size):
    leaves = [bytes([number]) for number in range(size + 5)]
    before = Tree()
    for leaf in leaves[:size]:
        before.append(leaf)
    after = Tree.restore(size, before.stored_frontier())
    for leaf in leaves[size:]:
        after.append(leaf)
    assert (after.size, after.root()) == (size + 5, defined(leaves))


def test_a_frontier_of_another_size_is_refused():
    with pytest.raises(ValueError, match="2 frontier"):
        Tree.restore(3, bytes(32))
