-- What kind of thing it is: device, sensor, actuator, controller or gateway.
ALTER TABLE things ADD COLUMN type VARCHAR(32) NOT NULL DEFAULT 'device';
