"""Credentials as RFC 7617, RFC 6750 and RFC 7616 have them; the answers are those of the RFCs' own examples."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client import BasicAuth, BearerAuth, DigestAuth
from fetchd.client.auth import Auth
from fetchd.client.challenges import parse_challenges

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC7616_MD5 = (
    f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="{NONCE}", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC7616_SHA256 = RFC7616_MD5.replace("=MD5", "=SHA-256")


def parameters_of(field: str | None) -> dict[str, str]:
    """The parameters of credentials, which have the form of a challenge."""
    assert field is not None
    [challenge] = parse_challenges([field])
    return dict(challenge.parameters)


def mufasa() -> DigestAuth:
    """The user of RFC 7616 section 3.9.1."""
    return DigestAuth("Mufasa", "Circle of Life", make_cnonce=lambda: CNONCE)


# Basic


def test_basic_is_base64_of_login_and_password() -> None:
    """RFC 7617 section 2, its example."""
    assert BasicAuth("Aladdin", "open sesame").encode() == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert BasicAuth("test", "123£", "utf-8").encode() == "Basic dGVzdDoxMjPCow=="


@given(st.text(st.characters(codec="utf-8", exclude_characters=":")), st.text(st.characters(codec="utf-8")))
def test_what_is_encoded_is_decoded_again(login: str, password: str) -> None:
    """A password may hold colons."""
    auth = BasicAuth(login, password, "utf-8")
    assert BasicAuth.decode(auth.encode(), "utf-8") == auth


@pytest.mark.parametrize("field", ["Bearer abc", "Basic ???", "Basic YWJj", "Basic", "Basic /w=="])
def test_what_is_no_basic_authentication_is_refused_without_being_told(field: str) -> None:
    """The message may come into a log."""
    with pytest.raises(ValueError, match=r"Basic") as caught:
        BasicAuth.decode(field, "utf-8")
    assert "YWJj" not in str(caught.value)


def test_a_login_with_a_colon_cannot_be_sent() -> None:
    """The server would see another login (RFC 7617 section 2)."""
    with pytest.raises(ValueError, match="colon"):
        BasicAuth("a:b", "c").encode()


def test_characters_that_the_encoding_lacks_are_told_without_the_password() -> None:
    """latin1 has no such letters; the message says what to do."""
    with pytest.raises(ValueError, match="encoding=") as caught:
        BasicAuth("me", "пароль").encode()
    assert "пароль" not in str(caught.value)


def test_userinfo_of_a_url_is_decoded() -> None:
    """Percent-encoding is the URL's, not the password's."""
    assert BasicAuth.from_url("me%40home:a%3Ab") == BasicAuth("me@home", "a:b", "utf-8")
    assert BasicAuth.from_url("") is None
    assert BasicAuth.from_url(None) is None


@pytest.mark.parametrize("auth", [BasicAuth("me", "secret"), BearerAuth("secret"), DigestAuth("me", "secret")])
def test_no_repr_shows_a_secret(auth: Auth) -> None:
    """It may come into a log."""
    assert "secret" not in repr(auth)


def test_basic_and_bearer_go_with_every_request_and_have_no_other_answer() -> None:
    """A 401 says that they are wrong."""
    for auth, field in ((BasicAuth("a", "b"), "Basic YTpi"), (BearerAuth("t0ken"), "Bearer t0ken")):
        assert auth.authorize("GET", "/", None) == field
        assert auth.answer([RFC7616_MD5, "Basic realm=x"], "GET", "/", None, field) is None


# Digest


@pytest.mark.parametrize(
    ("challenge", "response"),
    [
        (RFC7616_MD5, "8ca523f5e9506fed4657c9700eebdbec"),
        (RFC7616_SHA256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc_are_answered_as_in_the_rfc(challenge: str, response: str) -> None:
    """RFC 7616 section 3.9.1."""
    told = parameters_of(mufasa().answer([challenge], "GET", "/dir/index.html", None, None))
    assert told["response"] == response
    assert (told["username"], told["uri"], told["nc"], told["qop"]) == ("Mufasa", "/dir/index.html", "00000001", "auth")
    assert (told["cnonce"], told["opaque"]) == (CNONCE, "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS")


def test_userhash_and_sha_512_256_are_answered_as_the_corrected_example() -> None:
    """RFC 7616 section 3.9.2 with erratum 4897; a login beyond ASCII is sent as its hash."""
    challenge = (
        'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
        'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDssOS", charset=UTF-8, userhash=true'
    )
    auth = DigestAuth(
        "J\u00e4s\u00f8n Doe", "Secret, or not?", make_cnonce=lambda: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    )
    told = parameters_of(auth.answer([challenge], "GET", "/doe.json", None, None))
    assert told["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert told["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert told["userhash"] == "true"


def test_the_form_of_rfc_2069_is_answered_without_counts() -> None:
    """A challenge without qop: H(H(A1):nonce:H(A2))."""
    told = parameters_of(DigestAuth("u", "p").answer(['Digest realm="r", nonce="n"'], "GET", "/", None, None))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    assert told["response"] == md5(f"{md5('u:r:p')}:n:{md5('GET:/')}")
    assert not {"qop", "nc", "cnonce"} & set(told)


def test_the_session_forms_hash_the_nonces_into_the_secret() -> None:
    """RFC 7616 section 3.4.2."""
    challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess'
    told = parameters_of(DigestAuth("u", "p", make_cnonce=lambda: "c").answer([challenge], "GET", "/", None, None))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    secret = md5(f"{md5('u:r:p')}:n:c")
    assert told["response"] == md5(f"{secret}:n:00000001:c:auth:{md5('GET:/')}")
    assert told["algorithm"] == "MD5-sess"


def test_auth_int_hashes_the_content_that_is_at_hand() -> None:
    """RFC 7616 section 3.4.3; content that is streamed cannot be hashed before it is sent."""
    challenge = 'Digest realm="r", nonce="n", qop="auth-int"'
    auth = DigestAuth("u", "p", make_cnonce=lambda: "c")
    assert auth.answer([challenge], "POST", "/", None, None) is None
    with_content = parameters_of(auth.answer([challenge], "POST", "/", b"content", None))
    other = parameters_of(
        DigestAuth("u", "p", make_cnonce=lambda: "c").answer([challenge], "POST", "/", b"other", None)
    )
    assert with_content["qop"] == "auth-int"
    assert with_content["response"] != other["response"]


def test_later_requests_carry_the_answer_at_once_and_count() -> None:
    """RFC 7616 section 3.3: nc is how many requests were sent with the nonce."""
    auth = mufasa()
    assert auth.authorize("GET", "/", None) is None
    auth.answer([RFC7616_MD5], "GET", "/", None, None)
    counts = [parameters_of(auth.authorize("GET", f"/{number}", None))["nc"] for number in range(3)]
    assert counts == ["00000002", "00000003", "00000004"]


def test_the_nonce_that_was_sent_again_is_a_refusal_and_has_no_answer() -> None:
    """Wrong credentials are sent once; a stale nonce, or another one, is answered."""
    auth = mufasa()
    sent = auth.answer([RFC7616_MD5], "GET", "/", None, None)
    assert sent
    assert auth.answer([RFC7616_MD5], "GET", "/", None, sent) is None
    assert auth.answer([RFC7616_MD5 + ", stale=TRUE"], "GET", "/", None, sent)
    assert parameters_of(auth.answer([RFC7616_MD5.replace(NONCE, "new")], "GET", "/", None, sent))["nonce"] == "new"


def test_one_nonce_may_challenge_many_requests_without_credentials() -> None:
    """They were under way before the first of them was answered; the uses of the nonce are counted together."""
    auth = mufasa()
    answers = [parameters_of(auth.answer([RFC7616_MD5], "GET", "/", None, None)) for _ in range(3)]
    assert [told["nc"] for told in answers] == ["00000001", "00000002", "00000003"]


def test_credentials_of_another_kind_that_were_refused_are_followed_by_an_answer() -> None:
    """What was sent is no Digest: the challenge refuses that, and not what is known of the nonce."""
    for sent in ("Basic bWU6eA==", "no credentials at all, =", ""):
        assert mufasa().answer([RFC7616_MD5], "GET", "/", None, sent)


def test_a_challenge_that_is_no_text_is_not_answered() -> None:
    """Its octets would have to be sent back; they came as surrogates, which no field of a request may hold."""
    octets = RFC7616_MD5.replace('realm="http', 'realm="\udcff')
    assert octets != RFC7616_MD5
    assert mufasa().answer([octets], "GET", "/", None, None) is None
    assert parameters_of(mufasa().answer([octets, RFC7616_SHA256], "GET", "/", None, None))["algorithm"] == "SHA-256"


def test_the_strongest_algorithm_that_is_known_is_chosen() -> None:
    """Whatever the order, and whether in one field or in several (RFC 7616 section 3.7)."""
    unknown = RFC7616_MD5.replace("=MD5", "=SHA3-512")
    for fields in ([RFC7616_MD5, unknown, RFC7616_SHA256], [f"Basic realm=x, {RFC7616_SHA256}, {RFC7616_MD5}"]):
        assert parameters_of(mufasa().answer(fields, "GET", "/", None, None))["algorithm"] == "SHA-256"
    assert mufasa().answer([unknown, 'Digest realm="without a nonce"'], "GET", "/", None, None) is None


def test_a_login_beyond_ascii_is_sent_in_the_extended_form() -> None:
    """RFC 7616 section 3.4: username* as RFC 8187 has it."""
    field = DigestAuth("J\u00e4s\u00f8n", "p").answer([RFC7616_MD5], "GET", "/", None, None)
    assert field is not None
    assert "username*=UTF-8''J%C3%A4s%C3%B8n," in field


# Challenges


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["Basic"], [("basic", {})]),
        (['Basic realm="a, b=c"'], [("basic", {"realm": "a, b=c"})]),
        (['Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"'],
         [("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}), ("basic", {"realm": "simple"})]),
        (["Negotiate, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (["Negotiate YWJjZA==, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (["Basic", "Digest nonce=n"], [("basic", {}), ("digest", {"nonce": "n"})]),
        (["Basic realm = \"blanks\" , a=b"], [("basic", {"realm": "blanks", "a": "b"})]),
        (["Basic realm=first, realm=second"], [("basic", {"realm": "first"})]),
        (["realm=nobody's"], []),
        (["", ", ,", '"', "Basic realm=\"open"], [("basic", {})]),
    ],
)  # fmt: skip
def test_challenges_are_told_apart(fields: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """RFC 9110 section 11.6.1, the example of the section among them; what cannot be read ends its field."""
    assert [(scheme, dict(parameters)) for scheme, parameters in parse_challenges(fields)] == expected


@given(st.lists(st.text(max_size=200), max_size=5))
def test_no_field_breaks_the_reading(fields: list[str]) -> None:
    """Fields come from outside."""
    assert len(parse_challenges(fields)) <= 16
