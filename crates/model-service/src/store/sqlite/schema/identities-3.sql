-- Finds other keys under an imported hardware-id.
CREATE INDEX identities_by_hardware_id ON identities (hardware_id, issuer);
