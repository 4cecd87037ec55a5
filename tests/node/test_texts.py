"""What a stranger reads of a provider's answers, what their client does, and what the operator does."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from challenger.provider_client import BatchOnChain, responses_of
from contracts.bindings.settings import SettingsError
from node.receipts import fields_of
from node.records import Records
from node.settings import load_settings, view_key_of

from .chain import ProviderHouse
from .test_defender import Dispute

VIEW_KEY = "a key that nobody guesses"


def test_a_stranger_reads_no_text_and_learns_no_answers_own_id(house: ProviderHouse) -> None:
    house.settings = house.settings.model_copy(update={"view_key": SecretStr(VIEW_KEY)})
    answered = Dispute(house, asked="a secret prompt")
    provider, row = answered.provider, answered.row
    batch = provider.journal.batch(row.batch_id)
    assert batch is not None and row.signature is not None
    client = TestClient(provider.app)  # without its lifespan: no background workers
    provider.follower.step()
    provider.explorer.keeper.index.catch_up()
    place = f"{batch.chain_batch_id}/{row.index_in_batch}"
    texts = provider.texts.of(row)

    def get(path: str, token: str | None = None) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return client.get(path, headers=headers)

    public = [None, "", "Bearer", row.receipt_id, row.leaf, row.signature, batch.salt, batch.root, "k" * 400, VIEW_KEY[:-1], row.id[:-1]]  # fmt: skip
    for token in public:
        refused = get(f"/v1/texts/{place}", token)
        assert refused.status_code == 403 and refused.json()["error"]["code"] == "not_yours", token
        assert "prompt" not in str(get("/v1/settlement", token).json()["batches"]), token
    assert get("/v1/texts/999/0", VIEW_KEY).status_code == get(f"/v1/texts/999/{2**80}").status_code == 403
    pages = [
        f"/v1/batches/{batch.chain_batch_id}", f"/v1/batches/{batch.root}", f"/v1/responses/{row.leaf}", f"/v1/responses/{row.receipt_id}",
        f"/v1/receipts/{row.leaf}", f"/v1/receipts/{row.receipt_id}", "/v1/settlement", "/v1/explorer", f"/v1/explorer/responses/{place}",
        f"/v1/explorer/search?q={row.receipt_id}", f"/v1/explorer/batches/{batch.chain_batch_id}", "/metrics", "/",
    ]  # fmt: skip
    for page in pages:
        shown = get(page)
        assert shown.status_code == 200 and row.id not in shown.text and texts["prompt"] not in shown.text, (
            page
        )
    assert get(f"/v1/explorer/search?q={row.receipt_id}").json()["hits"][0]["page"] == f"responses/{place}"

    assert get(f"/v1/texts/{place}", row.id).json() == get(f"/v1/texts/{place}", VIEW_KEY).json() == texts
    own = [one for one in _responses(get("/v1/settlement", row.id)) if "prompt" in one]
    assert [one["leaf"] for one in own] == [row.leaf] and own[0]["answer"] == texts["answer"]
    assert all("prompt" in one for one in _responses(get("/v1/settlement", VIEW_KEY)))
    assert all("prompt" not in one for one in _responses(get("/v1/settlement")))  # nothing of it was kept
    assert get(f"/v1/receipts/{row.id}").json()["response_id"] == row.id

    closed = Records(provider.journal, provider.desk.issuer, "tiny", list_token_ids=False)
    listed = closed.batch(str(batch.chain_batch_id))
    assert listed is not None and all("prompt_ids" not in one for one in listed["responses"])
    by_leaf, by_own_id = closed.response(row.leaf), closed.response(row.id)
    assert by_leaf is not None and "output_ids" not in by_leaf
    assert by_own_id is not None and by_own_id["output_ids"]
    on_chain = house.contracts.ledger.batch(batch.chain_batch_id or 0)
    posted = BatchOnChain(batch.chain_batch_id or 0, on_chain.provider, on_chain.model_id, on_chain.root, on_chain.salt, on_chain.count)  # fmt: skip
    ids = house.contracts.chain.chain_id, house.contracts.ledger.address
    known = responses_of(
        listed["responses"], posted, *ids, lambda name: (closed.receipt(name) or {}).get("receipt")
    )
    assert known is not None and all(one.ids is None for one in known)
    assert fields_of(row) in [one.fields for one in known]  # a challenger can ask for it, by its leaf


def _responses(answer: Any) -> list[dict[str, Any]]:
    return [one for batch in answer.json()["batches"] for one in batch["responses"]]


def test_a_key_that_can_be_guessed_is_refused() -> None:
    assert view_key_of(load_settings(view_key=VIEW_KEY)) == VIEW_KEY and view_key_of(load_settings()) is None
    with pytest.raises(SettingsError, match="can be guessed"):
        view_key_of(load_settings(view_key="short"))
