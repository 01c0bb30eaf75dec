"""Mail: what one says, which ticket it belongs to, and how it goes in and out.

The pure parts (bytes or text in, structs out; no database, no clock):

    parsing.parse(raw, envelope_from=None) -> parsed.ParsedMail     never raises
    classes.find_loop(mail, own=..., addresses=...) -> reason that this is our own mail, or ""
    threading.thread(mail, lookups) -> threading.Decision; asked_ids(mail), asked_tags(mail)
    message_ids.make_message_id / read_message_id / build_references
    markers.marker_line(language), markers.make_mark(key, ticket)   at our mails' ends
    folding.fold(text, subject="") -> tuple[folding.Fold, ...]; folding.visible_text(text, ...)
    rendering.render_html(html, cids) / html_text.html_to_text(html); rendering.CSP
"""
