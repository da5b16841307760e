import pytest
from foxes import CONFIG, DOCUMENTS, begin, learn

from minibitnet.training.texts import encode_documents
from minibitnet.training.vocabulary import train_vocabulary


@pytest.fixture(scope="session")
def inner():
    return train_vocabulary(DOCUMENTS, CONFIG.vocab_size)


@pytest.fixture(scope="session")
def row(inner):
    return encode_documents(inner, DOCUMENTS)


@pytest.fixture(scope="session")
def trained(row):
    optimizer = begin()
    losses = learn(optimizer, row)
    return optimizer.parameters, losses  # at the end; on the way
