"""What a browser shows: a report of one page, and a page to turn knobs on."""
