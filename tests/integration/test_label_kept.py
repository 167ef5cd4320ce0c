"""What was done at the labelling page and not sent: it stays in the browser until the server takes it."""

from selenium.webdriver.common.keys import Keys

from tests.integration.label_pages import new_token, saved, settled

OUTBOX = "return Object.keys(localStorage).some(key => key.startsWith('label.outbox.'))"


def test_what_is_refused_for_want_of_a_token_is_kept_and_sent_with_one(label_project, label_served, labelers):
    root = label_project()
    server = label_served(root)
    ada = labelers(server, "ada").open()
    prompt, num = ada.prompt, len(ada.answers)
    server.stop()
    link = f"{server.url}/?token={new_token(root, 'ada')}"
    server.start()
    ada.press("2", "1")
    ada.wait(lambda: "a token is wanted" in ada.text("#alert"), "why it is not taken")
    assert "stays in this browser" in ada.text("#alert")
    ada.driver.get(link)
    ada.ready()
    ada.wait(lambda: (ada.prompt, ada.ranks[:2]) == (prompt, [2, 1]), "the draft")
    settled(ada)

    ada.driver.delete_cookie("rlhf_token")
    ada.press(*["1"] * (num - 2), Keys.ENTER)
    ada.wait(lambda: "stays in this browser" in ada.text("#alert") and ada.script(OUTBOX), "refused, and kept")
    assert saved(root, "ada") == []
    ada.driver.get(link)
    ada.wait(lambda: len(saved(root, "ada")) == 1, "submitted")
    ada.ready()
    assert ada.prompt != prompt
    (line,) = saved(root, "ada")
    assert [line["ranks"][index] for index in line["order"]] == [2, *[1] * (num - 1)]
    settled(ada)
    assert not ada.script(OUTBOX)


def test_a_draft_that_nobody_heard_outlives_work_on_another_prompt(label_project, label_served, labelers):
    root = label_project(2)
    server = label_served(root)
    ada = labelers(server, "ada").open()
    prompt = ada.prompt
    server.kill()
    ada.press("3", "1")
    ada.wait(lambda: ada.ranks[:2] == [3, 1], "ranked")
    ada.driver.get("about:blank")
    (root / ".cache/label/r1/leases.jsonl").unlink()
    server.start()
    ben = labelers(server, "ben").open()
    assert ben.prompt == prompt
    ada.open()
    assert ada.prompt != prompt, "ben has it"
    ada.press("2")
    settled(ada)
    ben.rank([1] * len(ben.answers))
    ben.submit()
    ada.press(*["1"] * (len(ada.answers) - 1))
    ada.submit()
    assert (ada.prompt, ada.ranks[:2]) == (prompt, [3, 1])
    assert "Others have this prompt too" in ada.text("#notice")
