import copy
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag_plugins.errors import ModelNotFound
from rag_plugins.models.sharing import Shared


class Model:
    """Something that weak references can be made to."""


def test_threads_that_ask_together_load_once():
    loads = []

    def load():
        time.sleep(0.05)
        loads.append(None)
        return Model()

    with ThreadPoolExecutor(8) as pool:
        shares = [Shared(("test", "once"), load) for _ in range(8)]
        models = list(pool.map(Shared.get, shares))
    assert len(loads) == 1
    assert len(set(map(id, models))) == 1


def test_a_failed_load_is_tried_again():
    answers = iter([ModelNotFound("not yet"), "model"])

    def load():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    share = Shared(("test", "again"), load)
    with pytest.raises(ModelNotFound):
        share.get()
    assert share.get() == "model"


def test_a_model_is_freed_when_all_have_let_go():
    one, other = (Shared(("test", "freed"), Model) for _ in range(2))
    model = weakref.ref(one.get())
    assert other.get() is model()
    one.release()
    one.release()
    assert model() is other.get() is not None
    other.release()
    assert model() is None
    again = one.get()
    assert isinstance(again, Model) and other.get() is again


def test_a_model_is_freed_with_its_holders():
    share = Shared(("test", "forgotten"), Model)
    model = weakref.ref(share.get())
    del share
    assert model() is None


def test_a_copy_of_a_holder_has_the_same_model():
    share = Shared(("test", "copied"), Model)
    assert copy.deepcopy(share).get() is share.get()
