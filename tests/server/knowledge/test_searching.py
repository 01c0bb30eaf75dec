"""What is found, in five languages, on both stores alike."""

from __future__ import annotations

from tests.server.knowledge.writers import Library

# Slug, language, title, body.
ARTICLES = (
    ("stop-en", "en", "How to stop a session", "Press the red button. Everything ends at once."),
    ("password-en", "en", "Changing your password", "Open settings and choose a longer one."),
    ("printer-en", "en", "The printer prints blank pages", "Clean the heads, replace cartridges."),
    ("drucker-de", "de", "Druckerpatronen wechseln", "Öffnen Sie die Klappe des Geräts."),
    ("kennwort-de", "de", "Kennwort vergessen", "Lassen Sie es vom Helpdesk zurücksetzen."),
    ("impressora-pt", "pt", "A impressora não imprime", "Verifique as ligações e os cabos."),
    ("senha-pt", "pt", "Alterar a palavra-passe", "Abra as definições da conta."),
    ("imprimanta-ro", "ro", "Imprimanta nu tipărește", "Verificați cablurile și conexiunile."),
    ("parola-ro", "ro", "Ați uitat parola", "Ședința se oprește; cereți alta."),
    ("printer-ru", "ru", "Принтер не печатает", "Проверьте кабели и замените картридж."),
    ("parol-ru", "ru", "Как сменить пароль", "Откройте настройки учётной записи."),
)
# What is typed, in which language, and what must be found first.
QUESTIONS = (
    ("How do I stop sessions?", "en", "stop-en"),
    ("forgot passwords settings", "en", "password-en"),
    ("printing blank page", "en", "printer-en"),
    ("cartridge", "en", "printer-en"),
    ("passw", "en", "password-en"),  # still typing
    ("Druckerpatrone", "de", "drucker-de"),
    ("Patronen", "de", "drucker-de"),  # the end of a compound
    ("gerat klappe", "de", "drucker-de"),  # without its marks
    ("Kennwörter vergessen", "de", "kennwort-de"),
    ("impressoras", "pt", "impressora-pt"),
    ("ligacao cabo", "pt", "impressora-pt"),
    ("palavra passe", "pt", "senha-pt"),
    ("imprimantele", "ro", "imprimanta-ro"),
    ("şedinţe", "ro", "parola-ro"),  # the old letters
    ("принтеры", "ru", "printer-ru"),
    ("замена картриджа", "ru", "printer-ru"),
    ("смена паролей", "ru", "parol-ru"),
    ("пароль учетной записи", "ru", "parol-ru"),
)


async def test_questions_in_five_languages(ann: Library, anybody: Library) -> None:
    for slug, language, title, body in ARTICLES:
        await ann.article(slug, title, body, language=language)
    wrong = []
    for question, language, slug in QUESTIONS:
        found = await anybody.read("/knowledge/suggest", q=question, language=language)
        slugs = [one["slug"] for one in found["items"]]
        if slugs[:1] != [slug]:
            wrong.append((question, slugs))
    assert wrong == []
    # Whoever names no language is answered in the one she wrote in.
    for question, slug in (("Druckerpatronen", "drucker-de"), ("Пароль", "parol-ru")):
        assert (await ann.found(question))[0] == slug
    assert await ann.found("giraffe") == []
    for hostile in ("%", "_", "'; DROP TABLE articles; --", "\0", "(" * 400, "NEAR AND OR *"):
        await anybody.read("/knowledge/suggest", q=hostile)
    assert (await anybody.get("/knowledge/suggest", q="x" * 501)).status_code == 422
    # Tags and categories are found as well, and a hit says where to read on.
    await ann.done("/knowledge/articles/stop-en/details", {"tags": ["emergency"]})
    (hit,) = (await anybody.read("/knowledge/suggest", q="emergencies"))["items"]
    assert hit["url"] == "http://127.0.0.1:8443/kb/stop-en"
    assert hit["snippet"] == "Press the red button. Everything ends at once."
    # Of an article in two languages it is the reader's that is shown.
    german = {"language": "de", "title": "Sitzung beenden: Stop", "body": "Roter Knopf."}
    await ann.done("/knowledge/articles/stop-en/texts", german)
    await ann.done("/knowledge/articles/stop-en/step", {"step": "publish"})
    for language, title in (("de", german["title"]), ("en", "How to stop a session")):
        found = await anybody.read("/knowledge/suggest", q="stop", language=language)
        assert [one["title"] for one in found["items"]] == [title]
