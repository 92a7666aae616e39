# A new table that publishes from its first row on; dropped, it publishes no more.
class CreateVisits < ActiveRecord::Migration[6.1]
  def change
    create_table :visits do |t|
      t.text :reason, null: false
      t.integer :version, null: false, default: 1
    end
    reversible do |direction|
      direction.up { execute "SELECT hcevents.attach('visits', 'visit', '{reason,version}')" }
    end
  end
end
