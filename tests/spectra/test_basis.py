"""Singular bases against the matrices they are of."""

from pathlib import Path

import pytest
import torch

from harness.spectra.basis import Basis, basis_modules, read_basis, singular_basis, write_bases


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (9, 4), (4, 9), (1, 5), (60, 130)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_triples_are_the_matrix(rows: int, columns: int, dtype: torch.dtype) -> None:
    weight = normal(rows, columns).to(dtype)
    basis = singular_basis(weight)
    assert (basis.rows, basis.columns, basis.kept, basis.complete) == (rows, columns, min(rows, columns), True)
    again = basis.u_mk * basis.sigma_k @ basis.v_nk.T
    assert torch.linalg.norm(again.double() - weight.double()) < 1e-6 * torch.linalg.norm(weight.double())
    for vectors in (basis.u_mk, basis.v_nk):
        assert vectors.dtype == torch.float32
        assert torch.linalg.norm(vectors.T @ vectors - torch.eye(basis.kept)) < 1e-5
    assert basis.sigma_k.tolist() == sorted(basis.sigma_k.tolist(), reverse=True)


def test_known_triples() -> None:
    """diag(3, 4) has its larger value along the second axis."""
    basis = singular_basis(torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]))
    assert basis.sigma_k.tolist() == [4.0, 3.0]
    assert basis.u_mk.abs().tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    assert basis.v_nk.abs().tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_what_is_kept_is_the_leading_part() -> None:
    weight = normal(9, 6)
    whole, part = singular_basis(weight), singular_basis(weight, keep=2)
    assert (part.kept, part.complete, part.rows, part.columns) == (2, False, 9, 6)
    assert torch.equal(part.u_mk, whole.u_mk[:, :2])
    assert torch.equal(part.v_nk, whole.v_nk[:, :2])
    assert singular_basis(weight, keep=99).complete


def test_a_file_gives_back_what_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    bases = {"model.layers.0.q_proj": singular_basis(normal(9, 6)), "lm_head": singular_basis(normal(5, 7), keep=3)}
    write_bases(path, bases)
    assert [file.name for file in tmp_path.iterdir()] == ["base.safetensors"]
    assert basis_modules(path) == ("lm_head", "model.layers.0.q_proj")
    for module, given in bases.items():
        found = read_basis(path, module)
        assert (found.rows, found.columns, found.complete) == (given.rows, given.columns, given.complete)
        for part in ("u_mk", "sigma_k", "v_nk"):
            assert torch.equal(getattr(found, part), getattr(given, part))
    with pytest.raises(KeyError, match=r"no basis of q_proj. It holds those of lm_head, model"):
        read_basis(path, "q_proj")


def test_no_matrix_has_no_basis() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) that is no finite matrix"):
        singular_basis(torch.ones(3))
    with pytest.raises(ValueError, match="no finite matrix"):
        singular_basis(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(ValueError, match="keep: 0 triples are no basis"):
        singular_basis(torch.ones(3, 3), keep=0)


def test_vectors_go_with_values() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(4, 2\) do not go with 1 singular values"):
        Basis(torch.ones(3, 2), torch.ones(1), torch.ones(4, 2))
