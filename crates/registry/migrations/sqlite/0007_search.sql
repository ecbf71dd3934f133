-- Finding things among millions by a part of the name or by metadata. Both indexes only propose
-- candidates, which the query checks again, so they may be coarse and therefore small:
-- `thing_names` holds the trigrams of the name, `thing_terms` one token for each scalar in the
-- metadata, made of the name of the member that holds it and its value. Queries make their tokens
-- by the same expression (store/search.rs). Triggers keep both, so that no statement can forget them.

CREATE VIRTUAL TABLE thing_names USING fts5(
    name, content='things', content_rowid='seq', tokenize='trigram', detail=none, columnsize=0
);

CREATE VIRTUAL TABLE thing_terms USING fts5(
    terms, content='', contentless_delete=1, tokenize='ascii', detail=none
);

CREATE TRIGGER things_search_insert AFTER INSERT ON things BEGIN
    INSERT INTO thing_names (rowid, name) VALUES (new.seq, new.name);
    INSERT INTO thing_terms (rowid, terms)
        SELECT new.seq, group_concat(hex(coalesce(CASE WHEN typeof(key) = 'text' THEN key END, '') || CASE type
            WHEN 'text' THEN '=' || substr(atom, 1, 64)
            WHEN 'integer' THEN '#' || printf('%.17g', atom)
            WHEN 'real' THEN '#' || printf('%.17g', atom)
            ELSE '!' || type END), ' ')
        FROM json_tree(new.metadata) WHERE type NOT IN ('object', 'array') HAVING count(*) > 0;
END;

CREATE TRIGGER things_search_delete AFTER DELETE ON things BEGIN
    INSERT INTO thing_names (thing_names, rowid, name) VALUES ('delete', old.seq, old.name);
    DELETE FROM thing_terms WHERE rowid = old.seq;
END;

CREATE TRIGGER things_search_rename AFTER UPDATE OF name ON things WHEN old.name <> new.name BEGIN
    INSERT INTO thing_names (thing_names, rowid, name) VALUES ('delete', old.seq, old.name);
    INSERT INTO thing_names (rowid, name) VALUES (new.seq, new.name);
END;

CREATE TRIGGER things_search_metadata AFTER UPDATE OF metadata ON things WHEN old.metadata IS NOT new.metadata BEGIN
    DELETE FROM thing_terms WHERE rowid = old.seq;
    INSERT INTO thing_terms (rowid, terms)
        SELECT new.seq, group_concat(hex(coalesce(CASE WHEN typeof(key) = 'text' THEN key END, '') || CASE type
            WHEN 'text' THEN '=' || substr(atom, 1, 64)
            WHEN 'integer' THEN '#' || printf('%.17g', atom)
            WHEN 'real' THEN '#' || printf('%.17g', atom)
            ELSE '!' || type END), ' ')
        FROM json_tree(new.metadata) WHERE type NOT IN ('object', 'array') HAVING count(*) > 0;
END;
