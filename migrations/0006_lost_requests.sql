-- The whole request of a card whose job is not inserted yet, as JSON: it is given back if the program ends.
ALTER TABLE open_cards ADD COLUMN draft TEXT;
